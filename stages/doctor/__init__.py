"""What ruins runs silently, looked for before one starts: a row for each check, made by the code that training uses."""
