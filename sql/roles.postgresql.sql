-- title: Three roles with no more rights than their work needs: owner, pipeline, and analysts who only read
--
-- Run it in the pipeline's database as a superuser, once the tables are there, and again after a restore; it may be run
-- as often as you like. Dagster's storage belongs into a database of its own. Then give each a password, or let pg_hba
-- know them by their system user: ALTER ROLE cowrie_pipeline PASSWORD '...'; and each analyst a user of their own:
-- CREATE ROLE somebody LOGIN PASSWORD '...' IN ROLE cowrie_analyst;
--
--   cowrie_owner     makes and changes tables: db upgrade, db move, db restore, import-legacy
--   cowrie_pipeline  reads and writes rows: everything else
--   cowrie_analyst   reads rows
DO $$
DECLARE
    name TEXT;
    login TEXT;
BEGIN
    FOR name, login IN VALUES ('cowrie_owner', 'LOGIN'), ('cowrie_pipeline', 'LOGIN'), ('cowrie_analyst', 'NOLOGIN') LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I %s', name, login);
        END IF;
        EXECUTE format('ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', name);
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM %I', current_database(), name);
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), name);
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    -- the work holds rows in temporary tables while statements use them
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO cowrie_owner, cowrie_pipeline', current_database());

    -- sequences go with the tables that own them
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('ALTER TABLE public.%I OWNER TO cowrie_owner', name);
    END LOOP;
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO cowrie_owner;
REVOKE ALL ON SCHEMA public FROM cowrie_pipeline, cowrie_analyst;
GRANT USAGE ON SCHEMA public TO cowrie_pipeline, cowrie_analyst;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, cowrie_pipeline, cowrie_analyst;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO cowrie_pipeline;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO cowrie_pipeline;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO cowrie_analyst;
-- which version the schema has is for its owner to say
REVOKE INSERT, UPDATE, DELETE ON public.cowrie_schema_version FROM cowrie_pipeline;

-- what a later version of cowrie_pipeline adds, when the owner upgrades
ALTER DEFAULT PRIVILEGES FOR ROLE cowrie_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO cowrie_pipeline;
ALTER DEFAULT PRIVILEGES FOR ROLE cowrie_owner IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO cowrie_pipeline;
ALTER DEFAULT PRIVILEGES FOR ROLE cowrie_owner IN SCHEMA public GRANT SELECT ON TABLES TO cowrie_analyst;
