"""Puts the parts together: here the outside world becomes what the loop and the decisions are given."""
