"""An app of what makes endpoints hard to ask: slow and endless answers, logins, mounted apps, values in other answers."""
