"""Make the fan: the candidates of all directions in one batch, each with its verdict."""
