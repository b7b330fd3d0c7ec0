"""OpenAI's routes: chat completions, models and responses."""
