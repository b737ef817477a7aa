"""Everything that pages change: each public function asks for a role, and stores the change with its audit."""
