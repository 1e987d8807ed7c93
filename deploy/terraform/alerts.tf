# Each alert has a page of its name in deploy/playbooks.

locals {
  # One log record is enough: each of these is a bug, or stops Berth until somebody acts.
  log_alerts = {
    violation              = { severity = "CRITICAL", title = "a promise is broken", filter = "jsonPayload.event=\"violation\"" }
    illegal-move           = { severity = "CRITICAL", title = "illegal move", filter = "jsonPayload.event=\"illegal_move\"" }
    leaked-hold            = { severity = "CRITICAL", title = "leaked hold", filter = "jsonPayload.event=(\"leaked_hold\" OR \"hold_mismatch\" OR \"hold_missing\")" }
    orphan-job             = { severity = "ERROR", title = "orphan job", filter = "jsonPayload.event=\"orphan_job\"" }
    ledger-damage          = { severity = "CRITICAL", title = "a document of the ledger is lost, unreadable or wrong", filter = "jsonPayload.event=(\"unreadable_document\" OR \"resource_lost\" OR \"record_lost\" OR \"queue_broken\")" }
    outage                 = { severity = "ERROR", title = "reconcile keeps failing", filter = "jsonPayload.event=\"outage\"" }
    submissions-denied     = { severity = "CRITICAL", title = "Vertex AI takes no jobs", filter = "jsonPayload.event=(\"submissions_denied\" OR \"submissions_unanswered\")" }
    settings-refused       = { severity = "CRITICAL", title = "settings or policy cannot be used", filter = "jsonPayload.event=(\"start_failed\" OR \"policy_unreadable\")" }
    instance-crash         = { severity = "ERROR", title = "an instance crashed", filter = "textPayload=~\"(Uncaught signal|Container called exit[(][1-9]|The instance was not started|^panic: )\"" }
    instance-out-of-memory = { severity = "ERROR", title = "an instance ran out of memory", filter = "textPayload=~\"Memory limit of .* exceeded\"" }
  }

  # What lasts: one pass catches up with what was late after an outage, and logs it once.
  lasting_alerts = {
    oldest-unpublished-event = { severity = "ERROR", title = "outcome events are not published", metric = "outbox_late", more_than = 2, minutes = 10 }
    oldest-due-timer         = { severity = "ERROR", title = "timers of requests are not run", metric = "timer_late", more_than = 2, minutes = 10 }
    resource-down            = { severity = "WARNING", title = "requests wait for a persistent resource that is not RUNNING", metric = "resource_down", more_than = 10, minutes = 20 }
    rate-refusals            = { severity = "WARNING", title = "Vertex AI refuses submissions for their rate", metric = "rate_refusals", more_than = 5, minutes = 10 }
  }

  # A burn rate of 10 uses up the error budget of 28 days in less than 3.
  burn_alerts = {
    errors-burn-rate  = { title = "deliveries fail", slo = google_monitoring_slo.answered.name }
    latency-burn-rate = { title = "deliveries are answered slowly", slo = google_monitoring_slo.accepted.name }
  }

  playbook = { for name in concat(keys(local.log_alerts), keys(local.lasting_alerts), keys(local.burn_alerts), ["no-tick", "dead-letters"]) :
    name => var.playbooks == "" ? "See deploy/playbooks/${name}.md in the repository." : "See [the playbook](${var.playbooks}/${name}.md)."
  }
}

resource "google_monitoring_alert_policy" "log" {
  for_each              = local.log_alerts
  project               = var.project
  display_name          = "${var.prefix}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.notification_channels
  user_labels           = { playbook = each.key }

  conditions {
    display_name = each.value.title
    condition_matched_log {
      filter = "${local.logs_of_functions} AND ${each.value.filter}"
    }
  }
  alert_strategy {
    auto_close = "86400s"
    # A condition on logs has to have this.
    notification_rate_limit {
      period = "3600s"
    }
  }
  documentation {
    content   = local.playbook[each.key]
    mime_type = "text/markdown"
  }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "lasting" {
  for_each              = local.lasting_alerts
  project               = var.project
  display_name          = "${var.prefix}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.notification_channels
  user_labels           = { playbook = each.key }

  conditions {
    display_name = each.value.title
    # In this language, because a condition of another kind is refused for some minutes
    # after its metric was made.
    condition_prometheus_query_language {
      query                     = "sum(increase(logging_googleapis_com:user_${replace(google_logging_metric.counter[each.value.metric].name, "/[^a-zA-Z0-9]/", "_")}{monitored_resource=\"cloud_run_revision\"}[${each.value.minutes}m])) > ${each.value.more_than}"
      evaluation_interval       = "60s"
      duration                  = "0s"
      disable_metric_validation = true
    }
  }
  documentation {
    content   = local.playbook[each.key]
    mime_type = "text/markdown"
  }
}

# Reconcile acknowledges each tick, also after a failure. Its own count of requests would
# not do, because hints keep it busy without a tick.
resource "google_monitoring_alert_policy" "no_tick" {
  project               = var.project
  display_name          = "${var.prefix}: no tick"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = var.notification_channels
  user_labels           = { playbook = "no-tick" }

  conditions {
    display_name = "no tick was answered for 5 minutes"
    condition_absent {
      filter   = "metric.type=\"pubsub.googleapis.com/subscription/push_request_count\" AND resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.reconcile.name}\" AND metric.labels.response_class=\"ack\""
      duration = "300s"
      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }
  # Before the first answer there is no metric that could be absent.
  conditions {
    display_name = "ticks wait for more than 5 minutes"
    condition_threshold {
      filter          = "metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.reconcile.name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 300
      duration        = "0s"
      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }
  documentation {
    content   = local.playbook["no-tick"]
    mime_type = "text/markdown"
  }
}

resource "google_monitoring_alert_policy" "dead_letters" {
  project               = var.project
  display_name          = "${var.prefix}: dead letters"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = var.notification_channels
  user_labels           = { playbook = "dead-letters" }

  conditions {
    display_name = "a dead letter waits"
    condition_threshold {
      filter          = "metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.dead_letters.name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }
  documentation {
    content   = local.playbook["dead-letters"]
    mime_type = "text/markdown"
  }
}

resource "google_monitoring_alert_policy" "burn_rate" {
  for_each              = local.burn_alerts
  project               = var.project
  display_name          = "${var.prefix}: ${each.value.title}"
  combiner              = "AND" # over a short and a long time: what lasts, and still goes on
  severity              = "ERROR"
  notification_channels = var.notification_channels
  user_labels           = { playbook = each.key }

  dynamic "conditions" {
    for_each = ["300s", "3600s"]
    content {
      display_name = "${each.value.title}, over ${conditions.value}"
      condition_threshold {
        filter          = "select_slo_burn_rate(\"${each.value.slo}\", \"${conditions.value}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = 10
        duration        = "0s"
      }
    }
  }
  documentation {
    content   = local.playbook[each.key]
    mime_type = "text/markdown"
  }
}
