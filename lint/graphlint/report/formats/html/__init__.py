"""The format ``html``: one page that needs nothing else, neither files nor a network."""
