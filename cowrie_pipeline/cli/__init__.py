"""The commands: thin over steps/ and orchestration/."""
