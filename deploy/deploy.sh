#!/usr/bin/env bash
#
# Deploys Berth to a Google Cloud project, or updates a deployment. It can be run
# again at any time: it keeps what exists, and sets again every setting that can
# drift. --help lists the flags; --dry-run prints the commands as a script and
# runs none of them.
#
# Exit codes: 0 done, 1 a command failed, 2 the command line is wrong.

set -euo pipefail

# The bash of macOS is from 2007.
if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 403)); then
  echo "deploy.sh: needs bash 4.3 or newer, this is $BASH_VERSION" >&2
  exit 1
fi

usage() {
  printf '%s\n' 'usage: deploy.sh --project=ID --region=REGION [flags]

Creates, or updates, everything that Berth needs in a project: identities, the
Firestore database, topics, the functions Admit, Reconcile and Status, their
subscriptions, and the tick.

  --project=ID              project id, not its number
  --region=REGION[,...]     Vertex AI regions to serve; may be repeated. The
                            functions and the database are in the first
  --default-resource=NAME   persistent resource of requests that name none
  --job-service-account=SA  e-mail of a service account that jobs may run as;
                            may be repeated
  --publisher=MEMBER        principal that may publish requests, such as
                            serviceAccount:train@example.iam.gserviceaccount.com;
                            may be repeated
  --operator=MEMBER         principal that may pause and resume what Berth starts
                            (berth pause); may be repeated
  --status-user=MEMBER      principal that may call the Status function; may be
                            repeated. Whose requests it shows to whom is set by
                            --env=BERTH_STATUS_OPERATORS=ADDRESS,... and
                            --env=BERTH_STATUS_CALLERS=ADDRESS:TENANT+TENANT,...
  --env=BERTH_NAME=VALUE    any other setting of the functions; may be repeated.
                            Settings of an earlier run that are not given again
                            are removed. If Go is installed, values are
                            checked as the functions check them
  --log-sink                send log entries of jobs to Berth as hints, so that
                            it learns of ended jobs before the next tick
  --runtime=ID              functions runtime (default go126)
  --prefix=NAME             beginning of every name (default berth)
  --dry-run                 print the commands, run none; needs no credentials
  --help                    print this

A value may also follow its flag after a space: --project ID.'
}

say() { printf '==> %s\n' "$*" >&2; }
note() { printf '    %s\n' "$*" >&2; }
fail() {
  printf 'deploy.sh: %s\n' "$*" >&2
  exit 1
}
misused() {
  printf 'deploy.sh: %s\nTry deploy.sh --help.\n' "$*" >&2
  exit 2
}

# --- command line -----------------------------------------------------------

project='' default_resource='' runtime=go126 prefix=berth
dry_run=false log_sink=false
regions=() job_accounts=() publishers=() operators=() status_users=() settings=()

# Values end up in printed commands, conditions and lists with delimiters, so
# each is held to a form in which no character has a meaning there.
want() { # flag, value, pattern, what it should be
  [[ $2 =~ $3 ]] || misused "--$1: \"$2\" is not $4"
}
want_member() {
  want "$1" "$2" '^(user|group|serviceAccount|domain|principal|principalSet):[A-Za-z0-9@._/:*+-]+$' \
    'a member such as user:, group: or serviceAccount: with an address (allUsers is never one)'
}
want_region() { want region "$1" '^[a-z]+-[a-z]+[0-9]+$' 'a region'; }

while (($#)); do
  flag=$1
  shift
  case $flag in
    --help | -h)
      usage
      exit 0
      ;;
    --dry-run | --dry-run=true)
      dry_run=true
      continue
      ;;
    --dry-run=false)
      dry_run=false
      continue
      ;;
    --log-sink | --log-sink=true)
      log_sink=true
      continue
      ;;
    --log-sink=false)
      log_sink=false
      continue
      ;;
    --dry-run=* | --log-sink=* | --help=*) misused "$flag: takes true or false" ;;
    --*=*)
      value=${flag#*=}
      flag=${flag%%=*}
      ;;
    --*)
      (($#)) && [[ $1 != --* ]] || misused "$flag: unknown, or its value is missing"
      value=$1
      shift
      ;;
    *) misused "unexpected argument \"$flag\"" ;;
  esac
  case $flag in
    --project)
      want project "$value" '^[a-z][a-z0-9-]{4,28}[a-z0-9]$' 'a project id (a project number is not taken)'
      project=$value
      ;;
    --region)
      IFS=, read -r -a list <<<"$value"
      ((${#list[@]})) || misused '--region: is empty'
      for region in "${list[@]}"; do
        want_region "$region"
        regions+=("$region")
      done
      ;;
    --default-resource)
      want default-resource "$value" '^(projects/[a-z0-9-]+/locations/[a-z0-9-]+/persistentResources/)?[a-z]([a-z0-9-]{0,61}[a-z0-9])?$' \
        'an id or projects/P/locations/L/persistentResources/ID'
      default_resource=$value
      ;;
    --job-service-account)
      want job-service-account "$value" '^[a-z0-9.-]+@[a-z0-9.-]+\.gserviceaccount\.com$' 'the e-mail of a service account'
      job_accounts+=("$value")
      ;;
    --publisher)
      want_member publisher "$value"
      publishers+=("$value")
      ;;
    --operator)
      want_member operator "$value"
      operators+=("$value")
      ;;
    --status-user)
      want_member status-user "$value"
      status_users+=("$value")
      ;;
    --env)
      want env "$value" '^(BERTH|OTEL)_[A-Z_]+=[A-Za-z0-9@._/:,+-]+$' 'BERTH_NAME=VALUE'
      case ${value%%=*} in
        BERTH_PROJECT | BERTH_REGIONS | BERTH_DEFAULT_RESOURCE | BERTH_DEPLOYMENT | BERTH_DATABASE | BERTH_OUTCOME_TOPIC | BERTH_OPERATORS_SUBSCRIPTION | BERTH_TICK | BERTH_TIMEOUT)
          misused "--env: ${value%%=*} follows from the other flags"
          ;;
        BERTH_RUN_IAM | BERTH_PUSH_ACCOUNT)
          misused "--env: ${value%%=*} is set by this script, which deploys functions that IAM guards"
          ;;
        BERTH_LEDGER | BERTH_EMULATORS | BERTH_VERTEX_ENDPOINT)
          misused "--env: ${value%%=*} is for machines without a cloud"
          ;;
      esac
      for setting in ${settings[@]+"${settings[@]}"}; do
        [[ ${setting%%=*} != "${value%%=*}" ]] || misused "--env: ${value%%=*} is given twice"
      done
      settings+=("$value")
      ;;
    --runtime)
      want runtime "$value" '^go[0-9]+$' 'a Go runtime such as go126'
      runtime=$value
      ;;
    --prefix)
      # A database id has at least 4 characters, a service account id at most 30.
      want prefix "$value" '^[a-z][a-z0-9-]{2,18}[a-z0-9]$' '4 to 20 lowercase letters, digits and dashes'
      prefix=$value
      ;;
    *) misused "unknown flag $flag" ;;
  esac
done

[[ -n $project ]] || misused '--project is missing'
((${#regions[@]})) || misused '--region is missing'
region=${regions[0]}

# --- names ------------------------------------------------------------------

database=$prefix
requests=$prefix-requests operator_topic=$prefix-operators ticks=$prefix-ticks outcomes=$prefix-outcomes
dead_letters=$prefix-dead-letters job_logs=$prefix-job-logs
run_account=$prefix-run@$project.iam.gserviceaccount.com
push_account=$prefix-push@$project.iam.gserviceaccount.com
build_account=$prefix-build@$project.iam.gserviceaccount.com
role=${prefix//-/_}_jobs

# Two installations in one project must not take each other's jobs for their own.
deployment=default
[[ $prefix == berth ]] || deployment=$prefix

source_dir=./${BASH_SOURCE[0]}
[[ ${BASH_SOURCE[0]} == /* ]] && source_dir=${BASH_SOURCE[0]}
source_dir=$(cd -- "${source_dir%/*}/.." && pwd)

regions_list=$(
  IFS=,
  echo "${regions[*]}"
)

# environment sets the array environment to the variables of a function with this
# timeout in seconds.
environment() {
  environment=("BERTH_PROJECT=$project" "BERTH_REGIONS=$regions_list" "BERTH_DEPLOYMENT=$deployment"
    "BERTH_DATABASE=$database" "BERTH_OUTCOME_TOPIC=$outcomes" "BERTH_OPERATORS_SUBSCRIPTION=$prefix-operators" BERTH_TICK=1m "BERTH_TIMEOUT=${1}s"
    BERTH_RUN_IAM=true "BERTH_PUSH_ACCOUNT=$push_account")
  [[ -z $default_resource ]] || environment+=("BERTH_DEFAULT_RESOURCE=$default_resource")
  environment+=(${settings[@]+"${settings[@]}"})
}

# A function silently ignores a variable that it does not know. The names
# are read from the code that is deployed, since a dry run must not need Go.
check_names() {
  local line known=' ' setting
  while IFS= read -r line; do
    [[ ! $line =~ env:\"((BERTH|OTEL)_[A-Z_]+) ]] || known+="${BASH_REMATCH[1]} "
  done <"$source_dir/internal/app/config.go"
  for setting in ${settings[@]+"${settings[@]}"}; do
    [[ $known == *" ${setting%%=*} "* ]] ||
      misused "--env: ${setting%%=*} is not a setting of the functions; the settings are:$known"
  done
}

# A function that refuses a value does not work, and reports that only when called.
check_values() {
  [[ -n $default_resource ]] || ((${#settings[@]})) || return 0
  if ! command -v go >/dev/null; then
    note 'go is not installed: the values of settings are not checked before they are deployed'
    return
  fi
  local timeout out
  for timeout in 120 60; do
    environment "$timeout"
    # The caller's own variables must not affect the check.
    out=$(
      unset "${!BERTH_@}" "${!OTEL_@}"
      cd -- "$source_dir" && go run ./cmd/berth check-settings "${environment[@]}" 2>&1
    ) && continue
    [[ $out != 'berth: '* ]] || misused "${out%%$'\n'*}"
    note 'the values of settings are not checked: go run ./cmd/berth does not work here'
    return
  done
}

check_names
check_values

# --- running, or printing ---------------------------------------------------

# print prints a command as a user would type it. A value that only a run can know
# appears as a variable that an earlier printed line sets; the checks above refuse
# such variables in arguments.
print() {
  local word line=''
  for word in "$@"; do
    case $word in
      *\$PROJECT_NUMBER* | *\$URL* | *\$WRITER*) word=\"${word//\"/\\\"}\" ;;
      *\'*) printf -v word '%q' "$word" ;;
      *[!A-Za-z0-9@%_+=:,./-]*) word=\'$word\' ;;
    esac
    line+=" $word"
  done
  printf '%s' "${line# }"
}

# Without --quiet, gcloud may ask a question and wait for an answer.
wide=(--project="$project" --quiet)

run() {
  if $dry_run; then
    print gcloud "$@" "${wide[@]}"
    echo
  else
    gcloud "$@" "${wide[@]}" >/dev/null
  fi
}

exists() { gcloud "$@" "${wide[@]}" >/dev/null 2>&1; }

# learn VARIABLE COMMAND... sets the variable to what the command prints.
learn() {
  local -n learned=$1
  if $dry_run; then
    # shellcheck disable=SC2016 # to be expanded where it is printed to
    printf '%s=$(%s)\n' "$1" "$(print gcloud "${@:2}" "${wide[@]}")"
    learned=\$$1
  else
    learned=$(gcloud "${@:2}" "${wide[@]}")
    [[ -n $learned ]] || fail "gcloud ${*:2}: printed nothing"
  fi
}

# split cuts its arguments at each "--" into the arrays first, second and third.
split() {
  first=() second=() third=()
  local word n=1
  for word in "$@"; do
    if [[ $word == -- ]]; then
      n=$((n + 1))
      continue
    fi
    case $n in
      1) first+=("$word") ;;
      2) second+=("$word") ;;
      *) third+=("$word") ;;
    esac
  done
}

# create DESCRIBE... -- CREATE... makes what is missing.
create() {
  split "$@"
  if $dry_run; then
    printf '%s >/dev/null 2>&1 ||\n  ' "$(print gcloud "${first[@]}" "${wide[@]}")"
    run "${second[@]}"
  elif ! exists "${first[@]}"; then
    run "${second[@]}"
  fi
}

# put DESCRIBE... -- CREATE... -- UPDATE... makes what is missing, and
# updates what exists.
put() {
  split "$@"
  if $dry_run; then
    printf 'if %s >/dev/null 2>&1; then\n  ' "$(print gcloud "${first[@]}" "${wide[@]}")"
    run "${third[@]}"
    printf 'else\n  '
    run "${second[@]}"
    echo 'fi'
  elif exists "${first[@]}"; then
    run "${third[@]}"
  else
    run "${second[@]}"
  fi
}

# index creates a composite index. They have generated names, so there is
# nothing to describe; the service refuses a second equal one.
index() {
  if $dry_run; then
    printf '%s || true # it may exist\n' "$(print gcloud firestore indexes composite create "$@" "${wide[@]}")"
    return
  fi
  local out
  if ! out=$(gcloud firestore indexes composite create "$@" "${wide[@]}" 2>&1); then
    [[ ${out,,} == *already*exists* ]] || fail "create an index: $out"
  fi
}

# grant adds a binding. A new account or role is not known everywhere at once, so
# the first attempt in a new project can fail; grant tries again.
grant() {
  if $dry_run; then
    run "$@"
    return
  fi
  local out try
  for try in 1 2 3 4 5 6 7 8; do
    if out=$(gcloud "$@" "${wide[@]}" 2>&1 >/dev/null); then
      return
    fi
    [[ $out == *'does not exist'* || $out == *NOT_FOUND* || $out == *'not found'* ]] || break
    ((try < 8)) || break
    note 'the account or role is not known everywhere yet; trying again in 10 s'
    sleep 10
  done
  fail "gcloud $*: $out"
}

if $dry_run; then
  echo '#!/usr/bin/env bash'
  echo 'set -euo pipefail'
else
  command -v gcloud >/dev/null || fail 'gcloud is not installed (or not on the PATH); --dry-run works without'
  trap '(($? == 0)) || echo "deploy.sh: stopped; fix the cause and run it again" >&2' EXIT
fi

# --- project ----------------------------------------------------------------

say "services of $project"
apis=(aiplatform artifactregistry cloudbuild cloudfunctions cloudresourcemanager cloudscheduler firestore iam logging pubsub run)
run services enable "${apis[@]/%/.googleapis.com}"
PROJECT_NUMBER=
learn PROJECT_NUMBER projects describe "$project" '--format=value(projectNumber)'

# Pub/Sub acts under an account of its own, which a project that never used
# Pub/Sub does not have yet; grants to it would fail.
run beta services identity create --service=pubsub.googleapis.com
pubsub_agent=serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com

# --- identities -------------------------------------------------------------

say 'identities'
account() { # e-mail, description
  create iam service-accounts describe "$1" -- \
    iam service-accounts create "${1%%@*}" --display-name="$2"
}
account "$run_account" 'Berth: what the functions run as'
account "$push_account" 'Berth: what Pub/Sub calls the functions as'
account "$build_account" 'Berth: what Cloud Build builds the functions as'

# roles/aiplatform.user would also work, but grants hundreds of further permissions.
permissions=aiplatform.customJobs.create,aiplatform.customJobs.get,aiplatform.customJobs.list,aiplatform.customJobs.cancel,aiplatform.persistentResources.get
role_flags=(--title='Berth: submit and follow training jobs' --permissions="$permissions" --stage=GA)
put iam roles describe "$role" -- \
  iam roles create "$role" "${role_flags[@]}" -- \
  iam roles update "$role" "${role_flags[@]}"

# Once a policy has one conditional binding, gcloud asks about the condition of
# every new one, and without a terminal it fails: so each says it has none.
project_grant() { # member, role, condition
  grant projects add-iam-policy-binding "$project" --member="serviceAccount:$1" --role="$2" --condition="$3"
}
project_grant "$run_account" "projects/$project/roles/$role" None
# Unconditioned, the functions could read and write every database of the project.
project_grant "$run_account" roles/datastore.user \
  "expression=resource.name==\"projects/$project/databases/$database\",title=$prefix-database-only"
project_grant "$build_account" roles/logging.logWriter None
# Unconditioned, every build could read all training data of the project.
project_grant "$build_account" roles/storage.objectViewer \
  "expression=resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-$PROJECT_NUMBER-$region\"),title=$prefix-build-sources-only"

# A job runs as the account that it names, and may do what that account may. The
# right to name one is given account by account; given on the project, every
# publisher could run code as any account there.
for account in ${job_accounts[@]+"${job_accounts[@]}"}; do
  grant iam service-accounts add-iam-policy-binding "$account" \
    --member="serviceAccount:$run_account" --role=roles/iam.serviceAccountUser --condition=None
done
((${#job_accounts[@]})) || note 'no --job-service-account: jobs that name a service account will be refused by Vertex AI'

# --- database ---------------------------------------------------------------

# Berth commits with preconditions and never opens a Firestore transaction, so
# the concurrency mode (pessimistic is Standard's default; gcloud has no flag for
# it) has no effect. Edition and type matter, because their indexes differ.
say "Firestore database $database in $region"
create firestore databases describe --database="$database" -- \
  firestore databases create --database="$database" --location="$region" \
  --edition=standard --type=firestore-native --delete-protection

# By default Firestore indexes every field of every document, those inside "doc"
# included: slow writes, and at most 40,000 entries a document, so that one long
# list of holds stops all admissions. So all are switched off, and those of queries
# on. A missing index fails queries in a deployment only, not on emulators.
say 'indexes'
for collection in resources requests leases budgets histories concurrency usage policies; do
  run firestore indexes fields update '*' --collection-group="$collection" --database="$database" --disable-indexes
done
field() { # collection, field
  run firestore indexes fields update "$2" --collection-group="$1" --database="$database" --index=order=ascending
}
field requests outbox
field requests recent
field requests job
field resources name
index --collection-group=requests --database="$database" \
  --field-config=field-path=resource,order=ascending \
  --field-config=field-path=queues,array-config=contains \
  --field-config=field-path=order,order=ascending
index --collection-group=requests --database="$database" \
  --field-config=field-path=resource,order=ascending \
  --field-config=field-path=state,order=ascending \
  --field-config=field-path=order,order=ascending
index --collection-group=requests --database="$database" \
  --field-config=field-path=state,order=ascending \
  --field-config=field-path=timerAt,order=ascending
# For the list of recent requests, by each of its filters.
for fields in resource status 'resource status'; do
  by=()
  for name in $fields recent; do
    by+=(--field-config="field-path=$name,order=ascending")
  done
  index --collection-group=requests --database="$database" "${by[@]}"
done

# The deletion of an expired document can take a day; nothing waits for it.
run firestore fields ttls update expireAt --collection-group=requests --database="$database" --enable-ttl --async

# --- topics -----------------------------------------------------------------

say 'topics'
topic() {
  create pubsub topics describe "$1" -- pubsub topics create "$1"
}
topic_grant() { # topic, member
  grant pubsub topics add-iam-policy-binding "$1" --member="$2" --role=roles/pubsub.publisher
}
for name in "$requests" "$operator_topic" "$ticks" "$outcomes" "$dead_letters"; do
  topic "$name"
done
if $log_sink; then
  topic "$job_logs"
fi
topic_grant "$outcomes" "serviceAccount:$run_account"
for member in ${publishers[@]+"${publishers[@]}"}; do
  topic_grant "$requests" "$member"
done
# Whoever may publish there may pause everything. It is not the topic of any tenant.
for member in ${operators[@]+"${operators[@]}"}; do
  topic_grant "$operator_topic" "$member"
done

# A topic without a subscription drops its messages, and Pub/Sub deletes a
# subscription without a pull for 31 days: either would lose dead letters.
dead_flags=(--ack-deadline=60 --message-retention-duration=31d --expiration-period=never)
put pubsub subscriptions describe "$dead_letters" -- \
  pubsub subscriptions create "$dead_letters" --topic="$dead_letters" "${dead_flags[@]}" -- \
  pubsub subscriptions update "$dead_letters" "${dead_flags[@]}"
# Without this, Pub/Sub silently delivers beyond the last attempt.
topic_grant "$dead_letters" "$pubsub_agent"

# --- functions --------------------------------------------------------------

# The build may write to this repository only. The default repository is shared by
# all functions of the project.
say 'image repository'
repository=projects/$project/locations/$region/repositories/$prefix
create artifacts repositories describe "$prefix" --location="$region" -- \
  artifacts repositories create "$prefix" --location="$region" --repository-format=docker
grant artifacts repositories add-iam-policy-binding "$prefix" --location="$region" \
  --member="serviceAccount:$build_account" --role=roles/artifactregistry.writer

deploy() { # entry point, timeout in seconds, instances, concurrency, ingress
  local name=$prefix-${1,,} flags env
  environment "$2"
  env=$(
    IFS=';'
    echo "${environment[*]}"
  )
  say "function $name"
  flags=(
    --gen2 --region="$region" --source="$source_dir" --runtime="$runtime" --entry-point="$1"
    --trigger-http --no-allow-unauthenticated --ingress-settings="$5"
    --service-account="$run_account"
    --build-service-account="projects/$project/serviceAccounts/$build_account"
    --docker-repository="$repository"
    --memory=512Mi --cpu=1 --timeout="${2}s" --max-instances="$3" --concurrency="$4"
    --set-env-vars="^;^$env"
  )
  run functions deploy "$name" "${flags[@]}"
}
invoker() { # function, member
  grant run services add-iam-policy-binding "$prefix-$1" --region="$region" --member="$2" --role=roles/run.invoker --condition=None
}

# Instances times concurrency bounds how many decide at once. One instance of
# Reconcile is enough, but not one request: a pass takes most of a minute, and
# hints that arrive meanwhile would all be refused.
deploy Admit 120 10 20 internal-only
deploy Reconcile 120 1 8 internal-only
deploy Status 60 2 20 all
invoker admit "serviceAccount:$push_account"
invoker reconcile "serviceAccount:$push_account"
for member in ${status_users[@]+"${status_users[@]}"}; do
  invoker status "$member"
done

# --- subscriptions ----------------------------------------------------------

say 'subscriptions'
grant iam service-accounts add-iam-policy-binding "$push_account" \
  --member="$pubsub_agent" --role=roles/iam.serviceAccountTokenCreator --condition=None

# push SUBSCRIPTION TOPIC FUNCTION FLAGS... The acknowledgement deadline is longer
# than the function's timeout: were it shorter, Pub/Sub would deliver a message
# again while a function still handles the first delivery. Without the expiration
# flag Pub/Sub deletes the subscription after a month without messages, and
# requests are lost.
push() {
  local name=$1 topic=$2 function=$prefix-$3
  shift 3
  URL=
  learn URL run services describe "$function" --region="$region" '--format=value(status.url)'
  local flags=(
    --push-endpoint="$URL" --push-auth-service-account="$push_account" --push-auth-token-audience="$URL"
    --ack-deadline=150 --min-retry-delay=10s --max-retry-delay=600s --expiration-period=never "$@"
  )
  put pubsub subscriptions describe "$name" -- \
    pubsub subscriptions create "$name" --topic="$topic" "${flags[@]}" -- \
    pubsub subscriptions update "$name" "${flags[@]}"
}

# A delivery fails because of its environment (a role, the ledger, a setting), not
# because of the message, since an invalid message gets an answer. So Pub/Sub gives a
# message up only after some 15 hours, the most that it allows: 100 attempts, at last
# 10 minutes apart. An outage of one night makes no valid request a dead letter.
for name in admit operators; do
  topic=$requests
  [[ $name == admit ]] || topic=$operator_topic
  push "$prefix-$name" "$topic" admit --dead-letter-topic="$dead_letters" --max-delivery-attempts=100
  grant pubsub subscriptions add-iam-policy-binding "$prefix-$name" --member="$pubsub_agent" --role=roles/pubsub.subscriber
done

# A dead letter means a request, or an operator's message, without an answer. A tick or a hint has no use after
# minutes, so Pub/Sub drops it after the shortest retention.
push "$prefix-reconcile" "$ticks" reconcile --message-retention-duration=10m
if $log_sink; then
  push "$job_logs" "$job_logs" reconcile --message-retention-duration=10m
fi

# --- tick and hints ---------------------------------------------------------

say 'tick'
tick_flags=(--location="$region" --schedule='* * * * *' --topic="projects/$project/topics/$ticks" --message-body=tick)
put scheduler jobs describe "$prefix-tick" --location="$region" -- \
  scheduler jobs create pubsub "$prefix-tick" "${tick_flags[@]}" -- \
  scheduler jobs update pubsub "$prefix-tick" "${tick_flags[@]}"

if $log_sink; then
  say 'log sink'
  sink=(pubsub.googleapis.com/projects/"$project"/topics/"$job_logs"
    --log-filter='resource.type="ml_job" AND labels."ml.googleapis.com/job_state":*')
  put logging sinks describe "$job_logs" -- \
    logging sinks create "$job_logs" "${sink[@]}" -- \
    logging sinks update "$job_logs" "${sink[@]}"
  # A sink that may not publish drops everything, and Google reports it by e-mail only.
  WRITER=
  learn WRITER logging sinks describe "$job_logs" '--format=value(writerIdentity)'
  topic_grant "$job_logs" "$WRITER"
fi

if $dry_run; then
  say 'nothing was run'
else
  say "done; publish requests to projects/$project/topics/$requests"
  note "subscribe to $outcomes first: a topic keeps no messages for later subscriptions"
fi
