# Plans against mocks of the providers: terraform test makes nothing in the cloud.

mock_provider "archive" {
  mock_data "archive_file" {
    defaults = { output_sha256 = "0123abcd" }
  }
}

mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = {
      email  = "berth-mock@demo-project.iam.gserviceaccount.com"
      member = "serviceAccount:berth-mock@demo-project.iam.gserviceaccount.com"
      name   = "projects/demo-project/serviceAccounts/berth-mock@demo-project.iam.gserviceaccount.com"
      id     = "projects/demo-project/serviceAccounts/berth-mock@demo-project.iam.gserviceaccount.com"
    }
  }
  mock_resource "google_project_iam_custom_role" {
    defaults = { id = "projects/demo-project/roles/berth_jobs" }
  }
  mock_resource "google_logging_project_sink" {
    defaults = { writer_identity = "serviceAccount:sink@example.iam.gserviceaccount.com" }
  }
  mock_resource "google_cloud_run_v2_service" {
    defaults = { uri = "https://berth.example.run.app" }
  }
  mock_resource "google_monitoring_slo" {
    defaults = { name = "projects/demo-project/services/berth/serviceLevelObjectives/mock" }
  }
  mock_data "google_project" {
    defaults = { number = "123456789" }
  }
  mock_data "google_cloud_run_v2_service" {
    defaults = { template = [{ containers = [{ image = "us-central1-docker.pkg.dev/demo-project/berth/build@sha256:0123" }] }] }
  }
}

mock_provider "google" {
  alias = "with_quota_project"
  mock_data "google_cloud_quotas_quota_infos" {
    defaults = { quota_infos = [] }
  }
}

variables {
  project = "demo-project"
  regions = ["us-central1", "europe-west4"]
  tenants = { red = { publishers = ["group:red@example.com"] } }
}

run "functions_are_closed_and_bounded" {
  assert {
    condition     = alltrue([for name in ["admit", "reconcile"] : google_cloud_run_v2_service.function[name].ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY"])
    error_message = "Only Pub/Sub reaches the functions that it calls."
  }
  assert {
    condition     = google_cloud_run_v2_service.function["reconcile"].template[0].scaling[0].max_instance_count == 1
    error_message = "Reconcile has one instance."
  }
  assert {
    condition     = length(google_cloud_run_v2_service.function) == 3
    error_message = "There are three functions."
  }
}

run "deliveries_are_not_repeated_too_early" {
  assert {
    condition     = alltrue([for s in values(google_pubsub_subscription.admit) : s.ack_deadline_seconds == 150])
    error_message = "The acknowledgement deadline is the function's timeout and 30 s."
  }
  assert {
    condition     = alltrue([for s in values(google_pubsub_subscription.admit) : s.expiration_policy[0].ttl == "" && s.dead_letter_policy[0].max_delivery_attempts == 100])
    error_message = "A request topic's subscription never expires, and has dead letters."
  }
  assert {
    condition     = google_pubsub_subscription.admit["-red"].name == "berth-admit-red" && google_pubsub_topic.requests["-red"].name == "berth-requests-red"
    error_message = "A tenant has a topic and a subscription of its own."
  }
}

run "the_database_is_guarded" {
  assert {
    condition     = google_firestore_database.ledger.delete_protection_state == "DELETE_PROTECTION_ENABLED" && google_firestore_database.ledger.concurrency_mode == "PESSIMISTIC"
    error_message = "The database cannot be deleted by a slip."
  }
}

run "rights_are_few" {
  assert {
    condition     = length(google_project_iam_custom_role.jobs.permissions) == 5
    error_message = "The custom role has the permissions that the calls need."
  }
  assert {
    condition     = google_service_account_iam_binding.push_tokens.role == "roles/iam.serviceAccountTokenCreator" && length(google_service_account_iam_binding.push_tokens.members) == 1
    error_message = "Pub/Sub alone makes tokens of the push account."
  }
}

run "all_variables_go_together" {
  variables {
    prefix                = "night-shift"
    default_resource      = "pool"
    job_service_accounts  = ["trainer@demo-project.iam.gserviceaccount.com"]
    publishers            = ["group:ml@example.com"]
    operators             = ["group:ops@example.com"]
    status_users          = ["group:ml@example.com"]
    tenants               = { red = { publishers = ["group:red@example.com"] }, blue = {} }
    settings              = { BERTH_MAX_WAIT = "24h" }
    notification_channels = ["projects/demo-project/notificationChannels/7"]
    playbooks             = "https://example.com/playbooks"
    collector_image       = "example.com/otel/collector:1"
    persistent_resources = {
      pool = {
        region = "us-central1"
        pools = [
          { machine_type = "n1-standard-4", replicas = 2 },
          { machine_type = "a2-highgpu-1g", accelerator_type = "NVIDIA_TESLA_A100", accelerator_count = 1, min_replicas = 1, max_replicas = 4 },
        ]
      }
    }
  }
  assert {
    condition     = length(google_pubsub_subscription.admit) == 3 && length(google_pubsub_topic_iam_member.publisher) == 2
    error_message = "Each tenant has a subscription, and each publisher a grant."
  }
  assert {
    condition     = alltrue([for f in values(google_cloud_run_v2_service.function) : length(f.template[0].containers) == 2])
    error_message = "A collector runs beside each function."
  }
}

run "a_project_number_is_refused" {
  command = plan
  variables {
    project = "123456"
  }
  expect_failures = [var.project]
}

run "everybody_is_no_publisher" {
  command = plan
  variables {
    publishers = ["allUsers"]
  }
  expect_failures = [var.publishers]
}

run "an_unknown_setting_is_refused" {
  command = plan
  variables {
    settings = { BERTH_MAX_WAITS = "1h" }
  }
  expect_failures = [var.settings]
}
