package html

import (
	"fmt"
	"net/url"

	"example.com/berth/internal/vertex"
)

// A jobLink is a job of Vertex AI and its page in the Google Cloud console, and the query
// of its log there. Without a full name there is only the text.
type jobLink struct{ Text, Console, Logs string }

func linkTo(job string) jobLink {
	n, ok := vertex.ParseName(job)
	if !ok || !n.IsJob() {
		return jobLink{Text: job}
	}
	project := "?project=" + url.QueryEscape(n.Project())
	return jobLink{
		Text:    n.ID(),
		Console: "https://console.cloud.google.com/ai/platform/locations/" + url.PathEscape(n.Region()) + "/training/" + url.PathEscape(n.ID()) + project,
		Logs:    "https://console.cloud.google.com/logs/query;query=" + url.PathEscape(logFilter(n.ID())) + project,
	}
}

// logFilter finds the log lines of a job, as in Cloud Logging's monitored resource ml_job.
func logFilter(number string) string {
	return fmt.Sprintf("resource.type=%q AND resource.labels.job_id=%q", "ml_job", number)
}

// A command is one to copy.
type command struct{ Purpose, Text string }

// commands are those that go on with a request. Words of others are quoted for a shell.
func commands(tenant, id, job string, live bool) (list []command) {
	of := " " + shellWord(id)
	if tenant != "default" {
		of = " --tenant " + shellWord(tenant) + of
	}
	list = append(list, command{"Show it in a terminal, and follow it", "berth show --watch" + of})
	list = append(list, command{"What would happen to a changed job file now", "berth explain JOB_FILE"})
	if live {
		list = append(list, command{"Cancel it", "berth cancel " + shellWord(id)})
	}
	if n, ok := vertex.ParseName(job); ok && n.IsJob() {
		project := shellWord(n.Project())
		list = append(list,
			command{"The job's log, as it is written", "berth logs --follow" + of},
			command{"The same with gcloud", "gcloud logging read " + shellWord(logFilter(n.ID())) + " --project=" + project + " --order=asc --limit=200"},
			command{"The job at Vertex AI", "gcloud ai custom-jobs describe " + shellWord(n.ID()) + " --region=" + shellWord(n.Region()) + " --project=" + project})
	}
	return list
}
