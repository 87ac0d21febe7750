"""The task type `notify`: tell people through Slack, Teams, Discord, ntfy, mail and whatever else Apprise knows."""
