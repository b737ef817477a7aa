"""Who looks at the dashboard, and what they may do. Queries and actions ask it, whatever a page draws."""

from typing import NamedTuple

from contracts.errors import NotAllowedError

# Each role may do what the ones before it may.
ROLES = VIEWER, ANALYST, OPERATOR, ADMIN = ("viewer", "analyst", "operator", "admin")


class Visitor(NamedTuple):
    """Somebody who looks at the dashboard: the name that audits tell, and one of ``ROLES``."""

    name: str
    role: str

    def may(self, role: str) -> bool:
        """Tell whether this visitor may do what ``role`` may."""
        return ROLES.index(self.role) >= ROLES.index(role)


def find_visitor() -> Visitor:
    """Return who looks: as long as there are no accounts, the one person at this machine, who may do everything."""
    return Visitor("local", ADMIN)


def require(role: str) -> Visitor:
    """Return who looks, if they may do what ``role`` may. Each action and each query of private rows begins with it.

    Raises:
        NotAllowedError: they may not.
    """
    visitor = find_visitor()
    if not visitor.may(role):
        raise NotAllowedError(
            f"This needs the role {role}; {visitor.name} has the role {visitor.role}. An admin can change it."
        )
    return visitor
