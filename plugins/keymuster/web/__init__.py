"""The page inside Airflow's UI. Only the API server loads it."""
