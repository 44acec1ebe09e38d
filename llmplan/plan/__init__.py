"""Plans: their vocabulary, their types, and how files and options become one."""
