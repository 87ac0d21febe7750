"""The task type `execute_command`."""
