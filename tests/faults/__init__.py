"""What the service does when something breaks: processes, disks, files, databases, locks."""
