"""What goes beside Streamlit's own connection: logins, and recordings in and out."""
