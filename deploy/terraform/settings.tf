locals {
  region = var.regions[0]

  # Two installations in one project must not take each other's jobs for their own.
  deployment = var.prefix == "berth" ? "default" : var.prefix

  # A function ignores a variable that it does not know, so the names are read from
  # the code that is deployed.
  known_settings = toset(flatten(regexall("env:\"((?:BERTH|OTEL)_[A-Z_]+)", file("${path.module}/../../internal/app/config.go"))))

  # managed_settings follow from variables of this configuration, and local_settings
  # are for machines without a cloud.
  managed_settings = [
    "BERTH_PROJECT", "BERTH_REGIONS", "BERTH_DEFAULT_RESOURCE", "BERTH_DEPLOYMENT", "BERTH_DATABASE", "BERTH_OUTCOME_TOPIC",
    "BERTH_TENANTS", "BERTH_OPERATORS_SUBSCRIPTION", "BERTH_TICK", "BERTH_TIMEOUT", "BERTH_RUN_IAM", "BERTH_PUSH_ACCOUNT",
    "BERTH_SUBMISSIONS",
  ]
  local_settings = ["BERTH_LEDGER", "BERTH_EMULATORS", "BERTH_VERTEX_ENDPOINT"]

  settings = merge(
    {
      BERTH_PROJECT                = var.project
      BERTH_REGIONS                = join(",", var.regions)
      BERTH_DEPLOYMENT             = local.deployment
      BERTH_DATABASE               = google_firestore_database.ledger.name
      BERTH_OUTCOME_TOPIC          = google_pubsub_topic.outcomes.name
      BERTH_OPERATORS_SUBSCRIPTION = "${var.prefix}-operators"
      BERTH_TICK                   = "1m"
      BERTH_RUN_IAM                = "true"
      BERTH_PUSH_ACCOUNT           = google_service_account.push.email
      BERTH_SUBMISSIONS            = tostring(local.submissions_per_minute)
    },
    var.default_resource == "" ? {} : { BERTH_DEFAULT_RESOURCE = var.default_resource },
    length(var.tenants) == 0 ? {} : {
      BERTH_TENANTS = join(",", [for name in sort(keys(var.tenants)) : "${var.prefix}-admit-${name}:${name}"])
    },
    var.collector_image == "" ? {} : { OTEL_EXPORTER_OTLP_ENDPOINT = "http://localhost:4318" },
    var.settings,
  )
}
