"""What leaves the dashboard as files: tables, markers and reports."""
