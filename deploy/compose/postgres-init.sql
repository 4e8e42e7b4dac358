-- Run by the image of PostgreSQL when its volume is new, as its superuser: a role, and a database each for the pipeline
-- and for Dagster, so that each can be restored without the other.
\set ON_ERROR_STOP on
\set password `cat /run/secrets/postgres_password`
CREATE ROLE cowrie_pipeline LOGIN PASSWORD :'password';
CREATE DATABASE cowrie OWNER cowrie_pipeline TEMPLATE template0 ENCODING 'UTF8';
CREATE DATABASE dagster OWNER cowrie_pipeline TEMPLATE template0 ENCODING 'UTF8';
