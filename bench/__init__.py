"""Where the README's figures come from: a scripted provider, the bare route and the gateway, measured in one run."""
