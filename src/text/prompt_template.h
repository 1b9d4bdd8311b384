/* prompt_template - the default templates, jobs/templates/scope-cot.txt and scope-cot-example.txt, built into
 * the program so that it finds them wherever it is run from. */
#ifndef SG_TEXT_PROMPT_TEMPLATE_H
#define SG_TEXT_PROMPT_TEMPLATE_H

extern const char sg__template_main[], sg__template_example[];

#endif
