"""What a catalog answers by: rules, their check and history. Used by the service and the file catalog."""
