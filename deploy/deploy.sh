#!/usr/bin/env bash
#
# Deploys Berth to a Google Cloud project, updates a deployment, or deletes one. It
# can be run again at any time: it keeps what exists, and sets again every setting
# that can drift. --help lists the flags; --dry-run prints the commands as a script
# and runs none of them.
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
  --tenant=NAME[=MEMBER]    a tenant with a request topic of its own,
                            PREFIX-requests-NAME, and a principal that may publish
                            there; may be repeated, also with the same name. Sets
                            BERTH_TENANTS
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
  --undeploy                delete the deployment of this prefix but its database
                            and custom role; prints what it would do, unless --yes
                            is given. --tenant and --job-service-account name
                            what an earlier run was given
  --yes                     with --undeploy: do it
  --help                    print this

A value may also follow its flag after a space: --project ID.

A first run takes 20 to 40 minutes: three builds of some minutes each, and more
than twenty indexes that Firestore makes one after another. Later runs take as long
as the builds.

Whoever runs it needs, on the project, roles/owner or all of these:
  roles/artifactregistry.admin        roles/cloudfunctions.developer
  roles/cloudscheduler.admin          roles/datastore.owner
  roles/iam.roleAdmin                 roles/iam.serviceAccountAdmin
  roles/iam.serviceAccountUser        roles/pubsub.admin
  roles/resourcemanager.projectIamAdmin
  roles/run.admin                     roles/serviceusage.serviceUsageAdmin
  roles/logging.configWriter          with --log-sink, and for --undeploy
and roles/iam.serviceAccountAdmin on each --job-service-account of another project.
deploying.md says more.'
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
dry_run=false log_sink=false undeploy=false yes=false
regions=() job_accounts=() publishers=() operators=() status_users=() settings=()
tenants=() tenant_publishers=() # tenant_publishers: NAME=MEMBER

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
    --undeploy | --undeploy=true)
      undeploy=true
      continue
      ;;
    --undeploy=false)
      undeploy=false
      continue
      ;;
    --yes | --yes=true)
      yes=true
      continue
      ;;
    --yes=false)
      yes=false
      continue
      ;;
    --dry-run=* | --log-sink=* | --undeploy=* | --yes=* | --help=*) misused "$flag: takes true or false" ;;
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
      [[ $value != *$'\n'* ]] || misused '--region: has more than one line'
      IFS=, read -r -a list <<<"$value"
      ((${#list[@]})) || misused '--region: is empty'
      for region in "${list[@]}"; do
        want_region "$region"
        [[ " ${regions[*]-} " != *" $region "* ]] || misused "--region: $region is given twice"
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
    --tenant)
      tenant=${value%%=*}
      want tenant "$tenant" '^[a-z0-9][a-z0-9-]{0,61}$' 'a name of lowercase letters, digits and dashes, or NAME=MEMBER'
      [[ $tenant != default ]] || misused '--tenant: "default" is the tenant of the request topic of all; see --publisher'
      [[ $tenant != operators ]] || misused '--tenant: "operators" is the tenant of the answers to operators'
      if [[ $value == *=* ]]; then
        want_member tenant "${value#*=}"
        tenant_publishers+=("$value")
      fi
      [[ " ${tenants[*]-} " == *" $tenant "* ]] || tenants+=("$tenant")
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
$undeploy || ! $yes || misused '--yes: belongs to --undeploy'
for setting in ${settings[@]+"${settings[@]}"}; do
  [[ ${setting%%=*} != BERTH_TENANTS || ${#tenants[@]} -eq 0 ]] || misused '--env: BERTH_TENANTS follows from --tenant'
done
if $undeploy && ! $yes; then
  dry_run=true
fi

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
  # A subscription that is not listed admits for the tenant "default".
  local tenant list=''
  for tenant in ${tenants[@]+"${tenants[@]}"}; do
    list+=,$prefix-admit-$tenant:$tenant
  done
  [[ -z $list ]] || environment+=("BERTH_TENANTS=${list#,}")
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
  [[ -n $default_resource ]] || ((${#settings[@]} + ${#tenants[@]})) || return 0
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

if ! $undeploy; then
  check_names
  check_values
fi

# --- calling gcloud -----------------------------------------------------------

# A dry run prints these functions too, so that what it prints tries again and stops
# where a run does. So they use nothing else of this file, and call gcloud and sleep.

# lags COMMAND... succeeds if $answer, the text of a failed command, is one that
# passes by itself, and sets $awaited to what is waited for. gcloud has one exit code
# for all failures, so only its text tells.
lags() {
  local text=${answer,,} command="$* " word member=''
  awaited=''
  for word in "$@"; do
    [[ $word != --member=* ]] || member=${word#--member=}
  done
  case $text in
    *'has not been used in project'* | *service_disabled* | *'it is disabled'*)
      awaited='an API that has just been enabled' ;;
  esac
  case $command in
    *'-iam-policy-binding '* | 'gcloud iam roles '* | 'gcloud firestore '*)
      case $text in
        *'concurrent policy changes'* | *aborted*) awaited='another change of the same policy or database' ;;
      esac
      ;;
  esac
  case $command in
    *' add-iam-policy-binding '*)
      # A user or a group is not made here: if that is unknown, its address is wrong.
      [[ $member == serviceAccount:* || $text != *"${member#*:}"* ]] || return 1
      case $text in
        *not_found* | *'not found'* | *'does not exist'* | *'unknown service account'*)
          awaited='an account, role or service that has just been made' ;;
      esac
      ;;
    'gcloud pubsub subscriptions '*'--push-endpoint='*)
      case $text in
        *not_found* | *'not found'* | *'does not exist'* | *serviceaccounts.actas*)
          awaited='an account or topic that has just been made' ;;
      esac
      ;;
    'gcloud functions deploy '*)
      # Whoever deploys without the right to do so gets other texts.
      case $text in
        *serviceaccounts.actas* | *not_found* | *'service account'*'not found'* | *'service account'*'does not exist'*)
          awaited='an account that has just been made' ;;
        *storage.objects.* | *'storage object viewer'* | *artifactregistry.* | *'write logs'* | *logging.logentries* | \
          *'missing permission on the build service account'* | *'permissions might take a few minutes'*)
          awaited='the rights of an account that builds, which have just been given' ;;
      esac
      ;;
  esac
  [[ -n $awaited ]]
}

# try COMMAND... runs a command; and again, up to seven times within two minutes of
# pauses, while its answer passes by itself. Then $answer is what it wrote to stderr.
# Its stdout is passed on. Its stdin is empty, since that may be the printed script.
try() {
  local pause
  for pause in 4 8 12 20 32 44 none; do
    # shellcheck disable=SC2069 # stderr into the variable, stdout past it
    if { answer=$("$@" 2>&1 >&3 3>&- </dev/null); } 3>&1; then
      return 0
    fi
    if [[ $pause == none ]] || ! lags "$@"; then
      return 1
    fi
    note "waiting $pause s for $awaited: ${answer%%$'\n'*}"
    sleep "$pause"
  done
}

# attempt COMMAND... tries a command that has to succeed.
# shellcheck disable=SC2317,SC2329 # called by its name
attempt() {
  try "$@" || fail "$*: $answer"
  [[ -z $answer ]] || printf '%s\n' "$answer" >&2
}

# ask COMMAND... tries a command that has to print something.
ask() {
  local out
  out=$(attempt "$@") || exit 1
  [[ -n $out ]] || fail "$*: printed nothing"
  printf '%s\n' "$out"
}

# absent succeeds if $answer says that the thing in question is not there. Every
# other failure tells nothing of the thing: no right to see it, no network.
absent() {
  case ${answer,,} in
    *denied* | *forbidden* | *'may not exist'*) return 1 ;;
    *not_found* | *'was not found'* | *'does not exist'* | *'status=[404]'* | *'cannot find service'* | *'the specified principal'*'not found!'*) return 0 ;;
  esac
  return 1
}

# exists COMMAND... describes a thing, and stops if that shows neither that it is there
# nor that it is not.
exists() {
  try "$@" >/dev/null && return 0
  absent || fail "$*: $answer"
  return 1
}

# any COMMAND... lists things, and succeeds if there is one.
# shellcheck disable=SC2317,SC2329 # called by its name
any() {
  local out
  out=$(attempt "$@") || exit 1
  [[ -n $out ]]
}

# once COMMAND... creates a thing that has no name to describe it by; the service
# refuses a second equal one.
# shellcheck disable=SC2317,SC2329 # called by its name
once() {
  try "$@" && return 0
  [[ ${answer,,} == *already*exists* ]] || fail "$*: $answer"
}

# remove COMMAND... deletes a thing that may not be there.
# shellcheck disable=SC2317,SC2329 # called by its name
remove() {
  try "$@" || absent || fail "$*: $answer"
}

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

# calls FUNCTION ARGUMENTS... calls gcloud through one of the functions above.
calls() {
  if $dry_run; then
    print "$1" gcloud "${@:2}" "${wide[@]}"
    echo
  else
    "$1" gcloud "${@:2}" "${wide[@]}" >/dev/null
  fi
}

run() { calls attempt "$@"; }

# learn VARIABLE COMMAND... sets the variable to what the command prints.
learn() {
  local -n learned=$1
  if $dry_run; then
    # shellcheck disable=SC2016 # to be expanded where it is printed to
    printf '%s=$(%s)\n' "$1" "$(print ask gcloud "${@:2}" "${wide[@]}")"
    learned=\$$1
  else
    learned=$(ask gcloud "${@:2}" "${wide[@]}")
  fi
}

# report TEXT is for what a user reads at the end.
report() {
  if $dry_run; then
    printf 'note %s\n' "$(print "$1")"
  else
    note "$1"
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

# unless FUNCTION DESCRIBE... -- CREATE... makes what the function, exists or any, does
# not find.
unless() {
  split "${@:2}"
  if $dry_run; then
    printf '%s ||\n  ' "$(print "$1" gcloud "${first[@]}" "${wide[@]}")"
    run "${second[@]}"
  elif ! "$1" gcloud "${first[@]}" "${wide[@]}"; then
    run "${second[@]}"
  fi
}

# create DESCRIBE... -- CREATE... makes what is missing.
create() { unless exists "$@"; }

# put DESCRIBE... -- CREATE... -- UPDATE... makes what is missing, and
# updates what exists.
put() {
  split "$@"
  if $dry_run; then
    printf 'if %s; then\n  ' "$(print exists gcloud "${first[@]}" "${wide[@]}")"
    run "${third[@]}"
    printf 'else\n  '
    run "${second[@]}"
    echo 'fi'
  elif exists gcloud "${first[@]}" "${wide[@]}"; then
    run "${third[@]}"
  else
    run "${second[@]}"
  fi
}

# index creates a composite index; these have generated names.
index() { calls once firestore indexes composite create "$@"; }

grant() { run "$@"; }

# shellcheck disable=SC2317,SC2329 # called by its name
stopped() { (($? == 0)) || echo 'deploy.sh: stopped; fix the cause and run it again' >&2; }

if $dry_run; then
  echo '#!/usr/bin/env bash'
  echo 'set -euo pipefail'
  echo
  declare -f note fail stopped lags try attempt ask absent exists any once remove
  echo 'trap stopped EXIT'
  echo
else
  command -v gcloud >/dev/null || fail 'gcloud is not installed (or not on the PATH); --dry-run works without'
  trap stopped EXIT
fi

# --- undeploying --------------------------------------------------------------

# What calls the functions goes first, so that nothing is decided half-way, and an
# account goes after its bindings, which could not be named without it. Nothing has to
# be there: a run that stopped half-way is finished by another.
if $undeploy; then
  say 'tick'
  calls remove scheduler jobs delete "$prefix-tick" --location="$region"
  say 'subscriptions'
  of_tenants=() topics=("$requests" "$operator_topic" "$ticks" "$outcomes" "$dead_letters" "$job_logs")
  for tenant in ${tenants[@]+"${tenants[@]}"}; do
    of_tenants+=("$prefix-admit-$tenant")
    topics+=("$requests-$tenant")
  done
  for name in "$prefix-admit" ${of_tenants[@]+"${of_tenants[@]}"} "$prefix-operators" "$prefix-reconcile" "$job_logs" "$dead_letters"; do
    calls remove pubsub subscriptions delete "$name"
  done
  say 'functions'
  for name in admit reconcile status; do
    calls remove functions delete "$prefix-$name" --region="$region"
  done
  say 'log sink'
  calls remove logging sinks delete "$job_logs"
  say 'topics'
  for name in "${topics[@]}"; do
    calls remove pubsub topics delete "$name"
  done
  # With --all under every condition, so also those that an earlier release gave.
  say 'bindings'
  for binding in "$run_account projects/$project/roles/$role" "$run_account roles/datastore.user" \
    "$build_account roles/logging.logWriter" "$build_account roles/storage.objectViewer"; do
    calls remove projects remove-iam-policy-binding "$project" --member="serviceAccount:${binding% *}" --role="${binding#* }" --all
  done
  for account in ${job_accounts[@]+"${job_accounts[@]}"}; do
    calls remove iam service-accounts remove-iam-policy-binding "$account" \
      --member="serviceAccount:$run_account" --role=roles/iam.serviceAccountUser --all
  done
  say 'accounts'
  for account in "$run_account" "$push_account" "$build_account"; do
    calls remove iam service-accounts delete "$account"
  done
  say 'image repository'
  calls remove artifacts repositories delete "$prefix" --location="$region"

  say "what stays of $prefix in $project"
  report "The database $database, with all requests; it is protected against deletion. A later deployment finds it. To delete it:"
  report "  gcloud firestore databases update --database=$database --no-delete-protection --project=$project"
  report "  gcloud firestore databases delete --database=$database --project=$project"
  report "The custom role $role, because a deleted role keeps its name for 37 days, in which none can be deployed under this prefix. To delete it:"
  report "  gcloud iam roles delete $role --project=$project"
  report 'Jobs that run on Vertex AI, until they end. Subscriptions of others to the deleted topics, which get no messages any more.'
  report "Topics and subscriptions of tenants that no --tenant names: gcloud pubsub subscriptions list --project=$project"
  if $dry_run; then
    say 'nothing was run; --undeploy --yes does it'
  fi
  exit 0
fi

# --- project ----------------------------------------------------------------

say "services of $project"
apis=(aiplatform artifactregistry cloudbuild cloudfunctions cloudresourcemanager cloudscheduler firestore iam logging pubsub run)
run services enable "${apis[@]/%/.googleapis.com}"
PROJECT_NUMBER=
learn PROJECT_NUMBER projects describe "$project" '--format=value(projectNumber)'

# These services act under accounts of their own. A project that has never used them
# may not have these yet: grants to Pub/Sub's and the first build would fail.
for service in pubsub cloudbuild artifactregistry cloudfunctions run; do
  run beta services identity create --service="$service.googleapis.com"
done
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
# Point-in-time recovery keeps every version of the last seven days.
put firestore databases describe --database="$database" -- \
  firestore databases create --database="$database" --location="$region" \
  --edition=standard --type=firestore-native --delete-protection --enable-pitr -- \
  firestore databases update --database="$database" --delete-protection --enable-pitr
# A database can have one daily schedule, and one weekly, which may be an operator's.
unless any firestore backups schedules list --database="$database" '--filter=NOT weeklyRecurrence:*' '--format=value(name)' -- \
  firestore backups schedules create --database="$database" --recurrence=daily --retention=14d

# By default Firestore indexes every field of every document, those inside "doc"
# included: slow writes, and at most 40,000 entries a document, so that one long
# list of holds stops all admissions. So all are switched off, and those of queries
# on. A missing index fails queries in a deployment only, not on emulators.
say 'indexes'
for collection in resources requests leases budgets histories concurrency usage policies pauses; do
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
for name in "$operator_topic" "$ticks" "$outcomes" "$dead_letters"; do
  topic "$name"
done
# After a restore of the database the requests since the backup are delivered again.
for name in "$requests" ${tenants[@]+"${tenants[@]/#/$requests-}"}; do
  put pubsub topics describe "$name" -- \
    pubsub topics create "$name" --message-retention-duration=7d -- \
    pubsub topics update "$name" --message-retention-duration=7d
done
if $log_sink; then
  topic "$job_logs"
fi
topic_grant "$outcomes" "serviceAccount:$run_account"
for member in ${publishers[@]+"${publishers[@]}"}; do
  topic_grant "$requests" "$member"
done
for pair in ${tenant_publishers[@]+"${tenant_publishers[@]}"}; do
  topic_grant "$requests-${pair%%=*}" "${pair#*=}"
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
for name in admit operators ${tenants[@]+"${tenants[@]/#/admit-}"}; do
  case $name in
    admit) topic=$requests ;;
    operators) topic=$operator_topic ;;
    *) topic=$requests-${name#admit-} ;;
  esac
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

# --- what to do next ----------------------------------------------------------

$dry_run || say 'done'
URL=
learn URL run services describe "$prefix-status" --region="$region" '--format=value(status.url)'
report "Status: $URL"
report "requests: publish to projects/$project/topics/$requests"
for tenant in ${tenants[@]+"${tenants[@]}"}; do
  report "requests of $tenant: publish to projects/$project/topics/$requests-$tenant"
done
report "outcomes: subscribe to projects/$project/topics/$outcomes before you publish, since a topic keeps no messages for later subscriptions"
report "operators: publish to projects/$project/topics/$operator_topic (berth pause and others do)"
report "dead letters: in projects/$project/subscriptions/$dead_letters (berth repair dead-letters)"
report 'for the berth command:'
report "  export BERTH_PROJECT=$project BERTH_REGIONS=$regions_list BERTH_STATUS_URL=$URL"
if [[ $prefix != berth ]]; then
  report "  export BERTH_PREFIX=$prefix BERTH_REQUEST_TOPIC=$requests BERTH_OPERATORS_TOPIC=$operator_topic"
fi
doctor="berth doctor --project=$project --region=$regions_list --status-url=$URL"
[[ $prefix == berth ]] || doctor+=" --prefix=$prefix"
report 'now see whether all of it works:'
report "  $doctor"
if $dry_run; then
  say 'nothing was run'
fi
