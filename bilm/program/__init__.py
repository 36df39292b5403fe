"""What every program shares: parser, options, exit statuses, JSON output, completion."""
