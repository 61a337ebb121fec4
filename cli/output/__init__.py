"""What commands print: text, tables, progress. Cleans what comes from files."""
