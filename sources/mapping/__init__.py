"""Platform records to canonical events, as a declarative profile says: no code per platform."""
