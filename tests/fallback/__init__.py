"""Orders taken by hand: numbers, form, journal, service, files."""
