"""The OpenAI API: chat completions and models. A request is an agent's turn; these modules read and render it."""
