package fakevertex

import (
	"fmt"
	"regexp"
	"strings"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
)

// The forms that the comments of CustomJobSpec give for names.
var (
	identifier      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	networkName     = regexp.MustCompile(`^projects/[^/]+/global/networks/[^/]+$`)
	tensorboardName = regexp.MustCompile(`^projects/[^/]+/locations/[^/]+/tensorboards/[^/]+$`)
	contextName     = regexp.MustCompile(`^projects/[^/]+/locations/[^/]+/metadataStores/[^/]+/contexts/[^/]+$`)
	modelName       = regexp.MustCompile(`^projects/[^/]+/locations/[^/]+/models/[^/]+$`)
)

func (p *problems) needs(field, value string) {
	if value == "" {
		p.add(field, "Required field is not set.")
	}
}

func (p *problems) named(field, value string, form *regexp.Regexp) {
	if value != "" && !form.MatchString(value) {
		p.add(field, "Invalid resource name %q.", value)
	}
}

// surroundings checks what a job spec says beside its worker pools.
func (p *problems) surroundings(field string, spec *aiplatformpb.CustomJobSpec) {
	p.named(field+".network", spec.GetNetwork(), networkName)
	p.named(field+".tensorboard", spec.GetTensorboard(), tensorboardName)
	p.named(field+".experiment", spec.GetExperiment(), contextName)
	p.named(field+".experiment_run", spec.GetExperimentRun(), contextName)
	for i, model := range spec.GetModels() {
		p.named(fmt.Sprintf("%s.models[%d]", field, i), model, modelName)
	}
	if spec.GetTensorboard() != "" && spec.GetServiceAccount() == "" {
		p.add(field+".service_account", "Required when tensorboard is set.")
	}
	if out := spec.GetBaseOutputDirectory(); out != nil {
		p.needs(field+".base_output_directory.output_uri_prefix", out.GetOutputUriPrefix())
		if uri := out.GetOutputUriPrefix(); uri != "" && (!strings.HasPrefix(uri, "gs://") || len(uri) == len("gs://")) {
			p.add(field+".base_output_directory.output_uri_prefix", "%q is not a Cloud Storage URI.", uri)
		}
	}
	for i, dns := range spec.GetPscInterfaceConfig().GetDnsPeeringConfigs() {
		at := fmt.Sprintf("%s.psc_interface_config.dns_peering_configs[%d]", field, i)
		p.needs(at+".domain", dns.GetDomain())
		p.needs(at+".target_project", dns.GetTargetProject())
		p.needs(at+".target_network", dns.GetTargetNetwork())
		if d := dns.GetDomain(); d != "" && !strings.HasSuffix(d, ".") {
			p.add(at+".domain", "Must end with a dot.")
		}
	}
}

// mounts checks the file systems of a worker pool.
func (p *problems) mounts(field string, w *aiplatformpb.WorkerPoolSpec) {
	for i, m := range w.GetNfsMounts() {
		at := fmt.Sprintf("%s.nfs_mounts[%d]", field, i)
		p.needs(at+".server", m.GetServer())
		p.needs(at+".path", m.GetPath())
		p.needs(at+".mount_point", m.GetMountPoint())
		if path := m.GetPath(); path != "" && path[0] != '/' {
			p.add(at+".path", "Must start with '/'.")
		}
	}
	for i, m := range w.GetLustreMounts() {
		at := fmt.Sprintf("%s.lustre_mounts[%d]", field, i)
		p.needs(at+".instance_ip", m.GetInstanceIp())
		p.needs(at+".volume_handle", m.GetVolumeHandle())
		p.needs(at+".filesystem", m.GetFilesystem())
		p.needs(at+".mount_point", m.GetMountPoint())
	}
}
