CREATE DATABASE keymuster OWNER airflow;
