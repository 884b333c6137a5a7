"""How the weights are made; nothing outside but the command line imports it."""
