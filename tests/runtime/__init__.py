"""What every process needs: settings, logs, the durable file."""
