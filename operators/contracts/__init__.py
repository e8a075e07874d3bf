"""Whether sources still send what their profiles expect."""
