"""Inputs that users of such software reported as trouble, made by code, and what the program makes of them."""
