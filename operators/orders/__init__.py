"""The truth per order: state machine, parcels, the document with its versions and diffs."""
