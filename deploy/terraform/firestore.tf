resource "google_firestore_database" "ledger" {
  name             = var.prefix
  project          = var.project
  location_id      = local.region
  type             = "FIRESTORE_NATIVE"
  database_edition = "STANDARD"
  # Berth commits with preconditions and opens no transaction. Other editions have
  # another default, so it is written down.
  concurrency_mode                  = "PESSIMISTIC"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = var.protect_database ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy                   = var.protect_database ? "PREVENT" : "DELETE"

  depends_on = [google_project_service.this]
}

resource "google_firestore_backup_schedule" "daily" {
  project   = var.project
  database  = google_firestore_database.ledger.name
  retention = "${var.backup_days * 24 * 3600}s"
  daily_recurrence {}
}

locals {
  collections = ["resources", "requests", "leases", "budgets", "histories", "concurrency", "usage", "policies", "pauses"]

  single_field_indexes = {
    "requests/outbox" = { collection = "requests", field = "outbox" }
    "requests/recent" = { collection = "requests", field = "recent" }
    "requests/job"    = { collection = "requests", field = "job" }
    "resources/name"  = { collection = "resources", field = "name" }
  }

  # A field that ends with [] is indexed by the elements of its array.
  composite_indexes = {
    queue           = ["resource", "queues[]", "order"]
    state           = ["resource", "state", "order"]
    due             = ["state", "timerAt"]
    resource        = ["resource", "recent"]
    status          = ["status", "recent"]
    resource_status = ["resource", "status", "recent"]
  }
}

# By default Firestore indexes every field of every document, those inside "doc"
# included: slow writes, and at most 40,000 entries a document, so that one long list
# of holds stops all admissions. So all are switched off, and those of queries on.
resource "google_firestore_field" "unindexed" {
  for_each   = toset(local.collections)
  project    = var.project
  database   = google_firestore_database.ledger.name
  collection = each.value
  field      = "*"
  index_config {}
}

resource "google_firestore_field" "indexed" {
  for_each   = local.single_field_indexes
  project    = var.project
  database   = google_firestore_database.ledger.name
  collection = each.value.collection
  field      = each.value.field
  index_config {
    indexes {
      order       = "ASCENDING"
      query_scope = "COLLECTION"
    }
  }

  # Firestore refuses two changes of one collection's fields at once.
  depends_on = [google_firestore_field.unindexed]
}

# The deletion of an expired document can take a day; nothing waits for it.
resource "google_firestore_field" "expiry" {
  project    = var.project
  database   = google_firestore_database.ledger.name
  collection = "requests"
  field      = "expireAt"
  ttl_config {}
  index_config {}

  depends_on = [google_firestore_field.unindexed]
}

resource "google_firestore_index" "requests" {
  for_each    = local.composite_indexes
  project     = var.project
  database    = google_firestore_database.ledger.name
  collection  = "requests"
  query_scope = "COLLECTION"

  dynamic "fields" {
    for_each = each.value
    content {
      field_path   = trimsuffix(fields.value, "[]")
      order        = endswith(fields.value, "[]") ? null : "ASCENDING"
      array_config = endswith(fields.value, "[]") ? "CONTAINS" : null
    }
  }
}

# Web and mobile clients get nothing. The functions do not ask the rules: IAM decides.
resource "google_firebaserules_ruleset" "deny" {
  provider = google.with_quota_project
  project  = var.project
  source {
    files {
      name    = "firestore.rules"
      content = <<-EOT
        rules_version = '2';
        service cloud.firestore {
          match /databases/{database}/documents {
            match /{document=**} {
              allow read, write: if false;
            }
          }
        }
      EOT
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_firebaserules_release" "deny" {
  provider     = google.with_quota_project
  project      = var.project
  name         = "cloud.firestore/${google_firestore_database.ledger.name}"
  ruleset_name = google_firebaserules_ruleset.deny.name
}
