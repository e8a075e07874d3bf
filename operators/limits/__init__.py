"""How limits adapt: by hour, season, working calendar, promised time and a shop's own history."""
