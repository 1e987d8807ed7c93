locals {
  # Each request topic delivers to Admit by a subscription of its own, and the
  # subscription decides the tenant: a message carries no identity.
  request_topics = merge(
    { "" = var.publishers },
    { for name, t in var.tenants : "-${name}" => t.publishers },
  )

  # What fails, fails for its environment (a role, the database, a setting) and not
  # for the message, since an invalid message gets an answer. 100 attempts, at last 10
  # minutes apart, take some 15 hours, so an outage of one night makes no valid request
  # a dead letter.
  attempts = 100

  # A tick or a hint has no use after minutes: this is the shortest retention.
  short_retention = "600s"
}

resource "google_pubsub_topic" "requests" {
  for_each = local.request_topics
  name     = "${var.prefix}-requests${each.key}"
  project  = var.project

  # After a restore of the database the requests since the backup are delivered again.
  message_retention_duration = "604800s"

  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic" "operators" {
  name    = "${var.prefix}-operators"
  project = var.project

  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic" "outcomes" {
  name    = "${var.prefix}-outcomes"
  project = var.project

  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic" "ticks" {
  name    = "${var.prefix}-ticks"
  project = var.project

  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic" "dead_letters" {
  name    = "${var.prefix}-dead-letters"
  project = var.project

  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic" "job_logs" {
  count   = var.log_sink ? 1 : 0
  name    = "${var.prefix}-job-logs"
  project = var.project

  depends_on = [google_project_service.this]
}

locals {
  # The audience of a push token is the URL of its service. The acknowledgement
  # deadline is longer than the function's timeout: were it shorter, Pub/Sub would
  # deliver a message again while a function still handles the first delivery.
  push = {
    for name, f in local.functions : name => {
      url      = google_cloud_run_v2_service.function[name].uri
      deadline = min(600, f.timeout + 30)
    }
  }
}

resource "google_pubsub_subscription" "admit" {
  for_each                   = local.request_topics
  name                       = "${var.prefix}-admit${each.key}"
  project                    = var.project
  topic                      = google_pubsub_topic.requests[each.key].id
  ack_deadline_seconds       = local.push.admit.deadline
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = local.push.admit.url
    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = local.push.admit.url
    }
  }
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = local.attempts
  }
  # By default Pub/Sub deletes a subscription after a month without messages, and
  # later requests are lost.
  expiration_policy {
    ttl = ""
  }

  # Without this grant Pub/Sub silently delivers beyond the last attempt.
  depends_on = [google_pubsub_topic_iam_member.dead_letters]
}

resource "google_pubsub_subscription" "operators" {
  name                       = "${var.prefix}-operators"
  project                    = var.project
  topic                      = google_pubsub_topic.operators.id
  ack_deadline_seconds       = local.push.admit.deadline
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = local.push.admit.url
    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = local.push.admit.url
    }
  }
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = local.attempts
  }
  expiration_policy {
    ttl = ""
  }

  depends_on = [google_pubsub_topic_iam_member.dead_letters]
}

# A dead letter is a request without an answer. Old ticks and hints among them would
# make an operator publish them again as requests, so these have no dead letters.
resource "google_pubsub_subscription" "reconcile" {
  name                       = "${var.prefix}-reconcile"
  project                    = var.project
  topic                      = google_pubsub_topic.ticks.id
  ack_deadline_seconds       = local.push.reconcile.deadline
  message_retention_duration = local.short_retention

  push_config {
    push_endpoint = local.push.reconcile.url
    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = local.push.reconcile.url
    }
  }
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_subscription" "job_logs" {
  count                      = var.log_sink ? 1 : 0
  name                       = "${var.prefix}-job-logs"
  project                    = var.project
  topic                      = google_pubsub_topic.job_logs[0].id
  ack_deadline_seconds       = local.push.reconcile.deadline
  message_retention_duration = local.short_retention

  push_config {
    push_endpoint = local.push.reconcile.url
    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = local.push.reconcile.url
    }
  }
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
  expiration_policy {
    ttl = ""
  }
}

# A topic without a subscription drops its messages, and with them the dead letters.
resource "google_pubsub_subscription" "dead_letters" {
  name                       = "${var.prefix}-dead-letters"
  project                    = var.project
  topic                      = google_pubsub_topic.dead_letters.id
  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s" # 31 days, the longest
  expiration_policy {
    ttl = ""
  }
}

# An observation that is older than two ticks admits nothing, so ticks must be as
# frequent as BERTH_TICK says.
resource "google_cloud_scheduler_job" "tick" {
  name     = "${var.prefix}-tick"
  project  = var.project
  region   = local.region
  schedule = "* * * * *"

  pubsub_target {
    topic_name = google_pubsub_topic.ticks.id
    data       = base64encode("tick")
  }

  depends_on = [google_project_service.this]
}
