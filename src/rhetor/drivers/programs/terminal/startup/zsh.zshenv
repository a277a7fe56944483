# Start-up of a wrapped zsh: the user's own file, in the folder where zsh would have looked for it.
ZDOTDIR=${RHETOR_ZDOTDIR:-$HOME}
[[ -r $ZDOTDIR/.zshenv ]] && . "$ZDOTDIR/.zshenv"
RHETOR_ZDOTDIR=$ZDOTDIR
ZDOTDIR=$RHETOR_ZSH_FOLDER
