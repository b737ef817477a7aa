"""What visitors change or take away: each public function asks for a role."""
