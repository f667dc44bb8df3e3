//! Sites of models of which some layers were scanned.

use std::fs;

use super::api::check_schemas;
use super::records::check_links;
use crate::support::Project;

/// The pages of the layers that were not scanned say so, and nothing leads to what is not there.
#[test]
fn a_site_says_which_layers_were_not_scanned() {
    for layout in ["pages", "packed"] {
        let flags = [
            "--layers",
            "0,2",
            "--prefix",
            "Once",
            "--sample",
            "90%",
            "--sample-seed",
            "2",
        ];
        let project = Project::new().scan(
            "llama",
            20,
            &[&flags[..], &["--max-tokens", "2k", "--shuffle", "1"]].concat(),
        );
        let address = ["--base-url", "https://example.org/atlas"];
        let project = project.built(&[&["--layout", layout], &address[..]].concat());
        let page = project.page("llama/1/index.html");
        assert!(page.contains("This layer was not scanned.") && page.contains("--layers 0,2"));
        assert_eq!(
            fs::read_dir(project.site().join("llama/1"))
                .unwrap()
                .count(),
            1
        );
        let page = project.page("llama/index.html");
        assert!(page.contains("74 SwiGLU neurons in 2 of 3 layers (0,2)"));
        let models = project.json("api/v1/models.json");
        assert_eq!(models["models"][0]["n_neurons"], 74);
        let unlisted = ["model.html", "random.html", "1/index.html"];
        check_links(&project.site(), &unlisted);
        check_schemas(&project.site());
        if layout == "pages" {
            assert!(project.page("llama/0/36.html").contains("../2/0.html"));
            assert!(project.page("llama/2/0.html").contains("../0/36.html"));
        }
    }
}
