"""What a component owes to the Greengrass nucleus it runs under."""
