/** The page with Swagger UI. It loads no files from other hosts and has no inline scripts. */
export const renderPage = (up: string) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>nano-messaging</title>
<link rel="icon" href="${up}docs/favicon-32x32.png">
<link rel="stylesheet" href="${up}docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="${up}docs/swagger-ui-bundle.js"></script>
<script src="${up}docs/initializer.js"></script>
</body>
</html>
`;

/** Disables the validator (`validatorUrl`), because it is a service on the internet. */
export const initializer = `SwaggerUIBundle({
  dom_id: '#swagger-ui',
  url: new URL('../openapi.json', document.currentScript.src).href,
  deepLinking: true,
  validatorUrl: null,
});
`;

/** The only files of swagger-ui-dist that are served. */
export const pageFiles = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'] as const;
