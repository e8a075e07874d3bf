"""Orders taken by hand while their system is down: numbers, form, journal, delivery, files in and out."""
