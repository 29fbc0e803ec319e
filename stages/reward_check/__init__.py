"""The graders checked on the user's own data: ``make check-rewards DATA=file.jsonl``."""
