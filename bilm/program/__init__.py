"""Common parts of all programs: parser, options, exit statuses, JSON output, completion."""
