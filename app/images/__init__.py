"""Images that callers send: fetched where they are URLs, and really what they say they are."""
