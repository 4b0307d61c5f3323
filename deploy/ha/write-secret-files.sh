#!/bin/sh
# write-secret-files.sh FILE FOLDER: writes what the containers of deploy/ha/compose.yml read as files: for the service the
# env file without the passwords that are the databases' alone, and two URLs; for the databases their passwords.
set -eu
file=$1
folder=$2
. "$(dirname "$0")/../secret-files.sh"

# quoted NAME: the value as a string of YAML.
quoted() {
    value "$1" | sed "s/'/''/g; s/.*/'&'/"
}

own='POSTGRES_PASSWORD|SUPERUSER_PASSWORD|REPLICATION_PASSWORD|REWIND_PASSWORD|RESTAPI_PASSWORD'
grep -Ev "^($own)=" "$file" | put settings
password=$(value POSTGRES_PASSWORD)
url="postgresql://webhook_service:$(printf %s "$password" | encoded)@db1,db2,db3/webhook_service"
printf %s "$url?target_session_attrs=read-write" | put database_url
printf %s "$url?target_session_attrs=prefer-standby" | put read_database_url
note_changes

printf %s "$password" | put webhook_service_password
put patroni_passwords.yml <<END
postgresql:
  authentication:
    superuser: { username: postgres, password: $(quoted SUPERUSER_PASSWORD) }
    replication: { username: replicator, password: $(quoted REPLICATION_PASSWORD) }
    rewind: { username: rewinder, password: $(quoted REWIND_PASSWORD) }
restapi:
  authentication: { username: patroni, password: $(quoted RESTAPI_PASSWORD) }
END
