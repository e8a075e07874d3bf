"""The life of alerts: numbering, wording, acknowledging, holding."""
