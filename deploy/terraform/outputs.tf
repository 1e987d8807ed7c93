output "cli" {
  description = "The environment of the berth CLI: eval \"$(terraform output -raw cli)\"."
  value = join("\n", [for name, value in {
    BERTH_PROJECT         = var.project
    BERTH_REGIONS         = join(",", var.regions)
    BERTH_PREFIX          = var.prefix
    BERTH_DEPLOYMENT      = local.deployment
    BERTH_STATUS_URL      = google_cloud_run_v2_service.function["status"].uri
    BERTH_REQUEST_TOPIC   = google_pubsub_topic.requests[""].name
    BERTH_OPERATORS_TOPIC = google_pubsub_topic.operators.name
    BERTH_DATABASE        = google_firestore_database.ledger.name
  } : "export ${name}=${value}"])
}

output "status_url" {
  description = "URL of the Status function: --status-url, or BERTH_STATUS_URL."
  value       = google_cloud_run_v2_service.function["status"].uri
}

output "request_topics" {
  description = "The request topic of each tenant, by full name."
  value       = { for suffix, topic in google_pubsub_topic.requests : suffix == "" ? "default" : trimprefix(suffix, "-") => topic.id }
}

output "operators_topic" {
  description = "The topic of operators' messages, by full name."
  value       = google_pubsub_topic.operators.id
}

output "outcome_topic" {
  description = "The topic of outcome events, by full name. Subscribe before the first request: a topic keeps no messages for later subscriptions."
  value       = google_pubsub_topic.outcomes.id
}

output "dead_letters_subscription" {
  description = "The subscription that keeps dead letters, by full name."
  value       = google_pubsub_subscription.dead_letters.id
}

output "run_account" {
  description = "What the functions run as. Whatever else they are to read needs a grant to it."
  value       = google_service_account.run.email
}

output "submissions_per_minute" {
  description = "Jobs that Berth submits per minute and region."
  value       = local.submissions_per_minute
}
