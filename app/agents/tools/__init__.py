"""Tools: what agents can do, each in a module of its own, and the policy that says which agent may do what."""
