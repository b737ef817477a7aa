"""How rows are put together for queries: nothing here asks for a role, nothing here is drawn."""
